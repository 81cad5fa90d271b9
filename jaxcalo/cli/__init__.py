"""The command line: one short file a verb. Only here is anything printed.

Importing it sets what numpy and JAX read when they are imported, see `runtime`.
"""

from jaxcalo.cli.runtime import set_environment

set_environment()
