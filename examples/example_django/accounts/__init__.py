"""The pages: signing in and out, and what one sees of oneself."""
