// The final states of a job.

export const FINISHED = ["done", "done_with_faults", "failed", "cancelled"];
