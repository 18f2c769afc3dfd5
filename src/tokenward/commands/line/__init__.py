"""The line that a person types: arguments in, lines and an exit status out.

Three programs read it, and none of them does anything of its own: ``tokenward …``, ``flask
tokenward …`` and ``manage.py tokenward_…``. Each brings its `Home`, the place of its configuration.

===========  ==================================================================================
`arguments`  what each command takes
`actions`    what it does, by a function of `tokenward.commands`, and what it says
`progress`   how far it is, for who looks on
`terminal`   where it says that, and where passwords and tokens come from
`ending`     how it ended: an exit status, and a sentence when something is wrong
===========  ==================================================================================
"""
