"""The public Python API: a function for each main command, and the results they return.

A function takes paths or objects in memory, does the work of the command of the same name, and
returns a result with pandas tables and a notebook display. The commands call these functions and
add printing and exit codes, so the two cannot differ. Error messages name options as the commands
do: `--force` is the argument `force`.
"""
