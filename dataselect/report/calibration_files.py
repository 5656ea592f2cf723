"""What `dataselect calibrate` writes: functions, and beside them the pairs and their setting."""

from pathlib import Path

from dataselect.errors import InputError


class CalibrationFiles:
    """The three files, named after that of the functions, in a folder that is made.

    Raises InputError at once where nothing can be written, not after hours of scoring.
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
        """The files by what they hold."""
        return {
            "pairs": self.pairs,
            "their setting": self.setting,
            "transfer functions": self.functions,
        }
