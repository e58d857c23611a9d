"""Saved states: attrs objects to JSON and back (`codec`), devices to sections (`sections`), sections and memory to one file (`container`)."""
