"""Filling the forms of the app's pages."""


def number(page, name, value):
    """Type a number and leave no doubt that it is meant."""
    page.fill(f"#{name} input[type=number]", str(value))
    page.press(f"#{name} input[type=number]", "Enter")
