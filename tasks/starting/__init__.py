"""Starting: what lies in a folder of text, and the config that fits it.

paths ──▶ listing ──▶ survey (a glimpse of some files) ──▶ sizes ──▶ a commented config
"""
