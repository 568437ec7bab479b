"""``qembed bench``: which system is better, by how much, and can these queries tell?"""
