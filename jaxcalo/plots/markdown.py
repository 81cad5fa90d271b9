"""Tables in Markdown, which all reports share."""

from collections.abc import Collection, Sequence


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int]
) -> str:
    """Write a table, without a final newline.

    Args:
        header: of each column.
        rows: cells of each row; a bar in a cell is escaped.
        numbers: the columns that stand on the right.
    """

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = ["---:" if i in numbers else "---" for i in range(len(header))]
    return "\n".join([line(header), line(rule), *map(line, rows)])
