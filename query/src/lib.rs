//! Stage: answers: SQL over HTTP.
