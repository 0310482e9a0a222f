"""Files that somebody asked for: jobs with progress, sealed at rest, kept seven days."""
