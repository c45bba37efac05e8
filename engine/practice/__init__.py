"""The built-in teacher: a server of OpenAI's and Anthropic's APIs that answers the builtin tasks' questions, with faults on request.

`builtin = true` in `config.toml` and `coterie teacher` start it. The example configuration calls this teacher `practice`,
and so does this package: you practise on it before you pay for a real API.
"""
