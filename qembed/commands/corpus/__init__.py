"""``qembed corpus``: chunk folders from Markdown and from installed packages."""
