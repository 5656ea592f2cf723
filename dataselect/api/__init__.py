"""What `import dataselect as ds` gives: a function for each main job, and what it returns.

A function takes paths or objects in memory, does the work that the command of its name does, and
returns a result whose tables are pandas frames and which shows itself in a notebook. The commands
call these functions and add printing and exit codes, so the two cannot differ. Errors name options
as the commands do: `--force` is the argument `force`.
"""
