//! Does the binary do what it says, as a person at a shell meets it?

mod anygate {
    mod backend;
    mod gate;
    mod machine;
    mod rig;

    mod bench;
    mod browser;
    mod cert;
    mod check;
    mod clients;
    mod clients_h2;
    mod docs;
    mod doctor;
    mod drain;
    mod help;
    mod limits;
    mod look;
    mod reload;
    mod served;
    mod serving;
    mod start;
}
