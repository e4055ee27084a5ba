"""Plain facts about people, orders and exams; standard library only."""
