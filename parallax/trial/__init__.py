"""The contract of a method as checks that say what to do about a failure; a file to start from."""
