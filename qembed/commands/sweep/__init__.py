"""``qembed sweep``: do shorter or quantised vectors rank as well?"""
