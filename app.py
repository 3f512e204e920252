"""Entry point of the Space and of ``make run``: serves the app in the package ``app``.

``import app`` means that package, beside this file, which wins over this file itself.
"""

from __future__ import annotations

from app.main import main

if __name__ == "__main__":
    main()
