"""`debug.player`: a tape as one interactive page.

Read `page.py` first; `page.js` is what runs in the browser.
"""
