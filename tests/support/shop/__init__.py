"""A Django project as ``startproject`` makes one, for the tests."""
