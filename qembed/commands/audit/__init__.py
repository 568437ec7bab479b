"""``qembed audit``: is a file of embeddings sound?"""
