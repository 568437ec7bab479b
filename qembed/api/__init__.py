"""The public functions, one file each: they join the packages below; every command is a shell around one."""
