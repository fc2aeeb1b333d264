"""Bridges to other tools: exports of reports to annotation tools, and people's decisions back from them."""
