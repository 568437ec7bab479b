"""``qembed kaggle``: check a Kaggle session; make a notebook for one."""
