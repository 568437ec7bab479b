"""One folder per command: its public function, its steps, its command line (``cli.py``) and its view."""
