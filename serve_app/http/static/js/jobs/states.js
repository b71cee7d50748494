// The states of a job that do not change any more.

export const FINISHED = ["done", "done_with_faults", "failed", "cancelled"];
