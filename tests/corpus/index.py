"""All cases of the corpus, and the file that keeps them: `python -m corpus.index` in tests/ writes it anew."""

import csv
import io
from pathlib import Path

from corpus import configs, headers, images, labels, manifests, tables

FAMILIES = (headers, images, labels, manifests, configs, tables)
KEPT = Path(__file__).with_name("kept.csv")


def every_case():
    return [case for family in FAMILIES for case in family.cases()]


def listed():
    """One line a case, by name, with what is wrong; mutations of a configuration say it by their name."""
    rows = {case.id: " ".join(ascii(case.wrong)[1:-1].split())[:120] for case in every_case()}
    rows |= {
        f"configs/{key}/{name}": "a value that the key cannot have" for key, name, _ in configs.mutations()
    }
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("case", "wrong"), *sorted(rows.items())])
    return text.getvalue()


if __name__ == "__main__":
    KEPT.write_text(listed(), encoding="utf-8")
