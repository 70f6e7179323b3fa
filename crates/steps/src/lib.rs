//! StepContext and the step library.
