"""Tallyport's requests for approvals in a Matrix room, and the reviewers' answers back. README.md says how to set it up."""
