"""Words of strangers in messages of ours."""


def one_line(value: object) -> str:
    r"""Return the text of anything on one line.

    Example:
        >>> one_line("Box([0.\n 0.])")
        'Box([0. 0.])'
    """
    return " ".join(str(value).split())
