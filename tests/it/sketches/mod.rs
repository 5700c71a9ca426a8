//! What will the parts to come look like? A page of code each, on the seams that they will use and nothing else.

mod source;
