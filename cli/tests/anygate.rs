//! Does the binary do what it says, as a person at a shell meets it?

mod anygate {
    mod rig;

    mod check;
    mod docs;
    mod help;
    mod look;
    mod serving;
}
