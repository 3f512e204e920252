"""Filling the forms of the app's pages, and coming back to them."""


def number(page, name, value):
    """Type a number and leave no doubt that it is meant."""
    page.fill(f"#{name} input[type=number]", str(value))
    page.press(f"#{name} input[type=number]", "Enter")


def reload(page):
    """Load the page anew once nothing is under way: what is cut off would complain."""
    page.wait_for_timeout(1500)
    page.reload()
