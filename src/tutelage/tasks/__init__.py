"""What is asked: data sets, the user's own questions, how answers are read, and how they are judged."""

from tutelage.tasks.answers import ANSWER_TYPES, AnswerType
from tutelage.tasks.grading import Judgement, graded, judge
from tutelage.tasks.load import TASKS, describe_tasks, load_task
from tutelage.tasks.task import Task

__all__ = ["ANSWER_TYPES", "TASKS", "AnswerType", "Judgement", "Task", "describe_tasks", "graded", "judge", "load_task"]
