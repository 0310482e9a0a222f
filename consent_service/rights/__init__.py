"""What the law lets a person ask for, and how long anything is kept."""
