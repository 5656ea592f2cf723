"""Files that `dataselect calibrate` writes: functions, and beside them pairs and setting."""

from pathlib import Path

from dataselect.errors import InputError


class CalibrationFiles:
    """Paths of the three files, named after the functions file; creates their folder.

    Raises InputError if nothing can be written there: at once, not after hours of scoring.
    """

    def __init__(self, functions: Path) -> None:
        self.functions = functions
        self.pairs = functions.with_name(f"{functions.stem}.pairs.csv")
        self.setting = functions.with_name(f"{functions.stem}.setting.json")
        if functions.is_dir():
            raise InputError(functions, "this is a folder", "give a file to --out")
        try:
            functions.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                functions, f"cannot be written: {error.strerror}", "give another --out"
            ) from None

    def named(self) -> dict[str, Path]:
        """The files by their content."""
        return {
            "pairs": self.pairs,
            "their setting": self.setting,
            "transfer functions": self.functions,
        }
