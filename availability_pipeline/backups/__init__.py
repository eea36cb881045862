"""Looking after the working database: backups, made while the pipeline runs and restored whole, and making it compact.

Each leaves everything as it was, or does all of its work. How a copy is taken and put in place is `store.copies`'
business; what a backup is as a file is said in `file`. The published database is not touched.
"""

from availability_pipeline.backups.compacting import Compaction, compact
from availability_pipeline.backups.making import Backup, backup
from availability_pipeline.backups.restoring import Restored, restore

__all__ = ["Backup", "Compaction", "Restored", "backup", "compact", "restore"]
