"""Recipes: a whole study in one YAML file, checked before anything is loaded, run or paid for.

    # Two students side by side on the bundled steps task.   tutelage run pocket/steps
    task:    {name: pocket/steps}
    teacher: {backend: pocket, samples: 2}
    student: {model: pocket/nano, learning_rate: 2.0e-3, epochs: 8}
    arms:    [fine-tuning, reasoning-distillation]
    seeds:   [1, 2]

Every key is listed below with its default. Unknown keys are refused with the nearest known one, and all problems of a
recipe are told at once. `task.dev_fraction=0.2` on the command line changes one value.
"""

from tutelage.recipe.arm import Arm
from tutelage.recipe.files import builtin, find, load
from tutelage.recipe.knowledge import KnowledgeSection, RerankerSection
from tutelage.recipe.learner import LearnerSection, LoraSection, MentorSection, StudentSection
from tutelage.recipe.objectives import MccSection, SoftLabelSection, StepByStepSection
from tutelage.recipe.overrides import override
from tutelage.recipe.published import PUBLISHED
from tutelage.recipe.recipe import Recipe, parse
from tutelage.recipe.scoring import ComputeSection, FewShotSection, ScoreSection
from tutelage.recipe.task import FieldMap, TaskSection
from tutelage.recipe.teacher import MixedTeacher, PriceSection, TeacherSection, told
from tutelage.recipe.verifier import VerifierSection

__all__ = [
    "PUBLISHED",
    "Arm",
    "ComputeSection",
    "FewShotSection",
    "FieldMap",
    "KnowledgeSection",
    "LearnerSection",
    "LoraSection",
    "MccSection",
    "MentorSection",
    "MixedTeacher",
    "PriceSection",
    "Recipe",
    "RerankerSection",
    "ScoreSection",
    "SoftLabelSection",
    "StepByStepSection",
    "StudentSection",
    "TaskSection",
    "TeacherSection",
    "VerifierSection",
    "builtin",
    "find",
    "load",
    "override",
    "parse",
    "told",
]
