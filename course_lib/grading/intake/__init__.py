"""Taking in what students handed in: archives, the names that systems give to files, who is who, and the plan."""
