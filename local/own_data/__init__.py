"""Your own data as files: check all of it at once, and write what the sandbox serves."""

from local.own_data.check import Checked, check_folder

__all__ = ["Checked", "check_folder"]
