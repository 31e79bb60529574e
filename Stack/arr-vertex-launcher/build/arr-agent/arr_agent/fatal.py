"""What no next poll and no next job would mend, by the lines in which the agent says it. Data.

The lines are wandb 0.31's own on Python 3.11, recorded with the agent against a local server; Google's sentences in them stand in public reports
of them. A line is taken from its beginning: what a job's specification holds is printed too, in other lines.
"""

import re
from dataclasses import dataclass

POLL = r"^Exception: "
"""A poll of the queue that failed: the agent prints it and goes on."""
START = r"^Error: |^wandb: ERROR Error: "
"""The agent's own end at its start."""
SUBMIT = r"^wandb: ERROR google\.\S+: "
"""The end of the traceback of a job that Vertex AI refused: the agent fails the item and takes the next."""
ENVIRONMENT = r"^wandb: ERROR launch: Error running job: Failed to create Vertex job: "


@dataclass(frozen=True)
class Rule:
    """A condition, how it is told, what mends it, and lines as they were recorded."""

    name: str
    pattern: re.Pattern[str]
    told: str
    remedy: str
    lines: tuple[str, ...]


def rule(name: str, pattern: str, told: str, remedy: str, *lines: str) -> Rule:
    return Rule(name, re.compile(pattern, re.IGNORECASE), told, remedy, lines)


RULES = (
    rule(
        "key",
        rf"(?:{POLL}|{START}).*(?:\b401\b|unauthorized|invalid credentials|invalid api key|permission denied to access the api)",
        "W&B does not accept the key",
        "give a valid WANDB_API_KEY, or a new version of the secret of ARR_AGENT_KEY_SECRET",
        "Exception: unauthorized",
        "Exception: HTTP 401",
        "Error: unauthorized",
    ),
    rule(
        "queue",
        rf"{POLL}.*(?:\b404\b|not found)|(?:{START}).*(?:Not all of requested queues|Error fetching run queues|failed to create run queue)",
        "the queue is not there",
        "compare --queue and --entity with the Launch page of W&B",
        "Exception: run queue gpus not found",
        "Error: Could not start launch agent: Not all of requested queues (gpus) found. Available queues for this project: cpus",
        "Error: Error fetching run queues for team check that you have access to this entity and project",
        "Error: failed to create run queue",
    ),
    rule(
        "access",
        rf"(?:{POLL}|{START}).*(?:\b403\b|forbidden|permission denied)",
        "the key may not use this queue",
        "a member of the team must own the key; see the queue's access on the Launch page of W&B",
        "Exception: 403 Client Error",
        "Exception: Permission denied",
    ),
    rule(
        "login",
        rf"{ENVIRONMENT}(?:No|Could not refresh|Invalid) Google Cloud Platform credentials|{SUBMIT}401 ",
        "there is no login for Google Cloud",
        "run the agent with a service account, or set GOOGLE_APPLICATION_CREDENTIALS",
        "wandb: ERROR launch: Error running job: Failed to create Vertex job: No Google Cloud Platform credentials found. Please run "
        "`gcloud auth application-default login` or set the environment variable GOOGLE_APPLICATION_CREDENTIALS to the path of a valid service "
        "account key file.",
        "wandb: ERROR google.api_core.exceptions.Unauthenticated: 401 Request had invalid authentication credentials.",
    ),
    rule(
        "image",
        rf"{SUBMIT}40[034] .*(?:does not have permission to access Artifact Registry|(?:image|manifest).* (?:not found|does not exist|denied)"
        r"|downloadArtifacts)",
        "Vertex AI may not pull the image, or it is not there",
        "gcloud artifacts repositories add-iam-policy-binding REPOSITORY --location=REGION "
        "--member=serviceAccount:service-NUMBER@gcp-sa-aiplatform-cc.iam.gserviceaccount.com --role=roles/artifactregistry.reader",
        "wandb: ERROR google.api_core.exceptions.FailedPrecondition: 400 Vertex AI Service Agent "
        "service-123456789@gcp-sa-aiplatform-cc.iam.gserviceaccount.com does not have permission to access Artifact Registry repository "
        "projects/my-project/locations/us-central1/repositories/arr-coc-registry.",
    ),
    rule(
        "permission",
        rf"{SUBMIT}403 ",
        "who the agent is logged in as may not start jobs in Vertex AI",
        "gcloud projects add-iam-policy-binding PROJECT --member=serviceAccount:AGENT --role=roles/aiplatform.user; with a service account for "
        "the job, roles/iam.serviceAccountUser on that; gcloud services enable aiplatform.googleapis.com",
        "wandb: ERROR google.api_core.exceptions.Forbidden: 403 POST "
        "https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1/customJobs?%24alt=json%3Benum-encoding%3Dint: "
        "Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.googleapis.com/projects/my-project/locations/us-central1' "
        "(or it may not exist).",
        "wandb: ERROR google.api_core.exceptions.PermissionDenied: 403 Permission denied on resource project my-project.",
    ),
    rule(
        "quota",
        rf"{SUBMIT}429 .*(?:quota metrics exceed quota limits|quotas are exceeded)",
        "the project's quota does not allow this machine",
        "https://console.cloud.google.com/iam-admin/quotas?service=aiplatform.googleapis.com; spot machines have quotas of their own "
        "(custom_model_training_preemptible_...)",
        "wandb: ERROR google.api_core.exceptions.ResourceExhausted: 429 The following quota metrics exceed quota limits: "
        "aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus",
        "wandb: ERROR google.api_core.exceptions.TooManyRequests: 429 POST "
        "https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1/customJobs?%24alt=json%3Benum-encoding%3Dint: "
        "The following quota metrics exceed quota limits: aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus",
        "wandb: ERROR google.api_core.exceptions.ResourceExhausted: 429 The following quotas are exceeded: CustomModelTrainingT4GPUsPerProjectPerRegion",
    ),
)

PASSES = (
    "Exception: timed out",
    "Exception: 4010 jobs",
    "Exception: port 14040",
    "wandb: ERROR google.api_core.exceptions.ServiceUnavailable: 503 The service is currently unavailable.",
    "wandb: ERROR google.api_core.exceptions.TooManyRequests: 429 Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'",
    "wandb: ERROR google.api_core.exceptions.InvalidArgument: 400 List of found errors: 1.Field: job_spec.worker_pool_specs; Message: Required.",
    "wandb: ERROR launch: Error running job: 404 not found",
    "wandb:              'name': 'Exception: unauthorized',",
    " Exception: unauthorized",
    "launch: Exception: 401",
    "wandb: launch: Job finished with ID: 1509991806356234965",
)
"""Lines that end nothing: what may pass, what is one job's own, what is no error."""


def fatal(line: str) -> Rule | None:
    """The first rule that a line meets.

    fatal("Exception: unauthorized").name  # "key"
    """
    return next((each for each in RULES if each.pattern.search(line)), None)
