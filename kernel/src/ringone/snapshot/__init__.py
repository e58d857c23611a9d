"""Saved states: attrs objects to JSON and back (`codec`), devices to sections (`sections`), a whole machine as data (`image`) and as files (`statefile`)."""
