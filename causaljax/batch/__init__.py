"""Many fits: over devices, over processes, and of tables with millions of rows.

Modules load on first use.
"""

import pkgutil
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from causaljax.batch.job import Job as Job
    from causaljax.batch.job import read_job as read_job
    from causaljax.batch.schedulers import submit as submit
    from causaljax.batch.summary import summarise as summarise
    from causaljax.batch.worker import run_job as run_job

_HOME = {
    "job": ["Job", "read_job"],
    "schedulers": ["submit"],
    "summary": ["summarise"],
    "worker": ["run_job"],
}
"""Names that can be had from the package itself, by the module they live in."""

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES, _HOME)
