//! Whatever configuration the documentation shows is loaded, as a reader would do it who copies it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::rig::Folder;

/// Absolute folders and files that examples name; a test cannot make them, so they are moved into its own folder.
const ABSOLUTE: [&str; 6] = ["/dist/", "/srv/", "/etc/anygate/", "/etc/letsencrypt/", "/etc/tls/", "/var/www/"];
/// Folders and files that examples name, beside the configuration.
const FILES: [&str; 6] =
    ["dist/index.html", "dist/app.js", "public/index.html", "site/index.html", "assets/logo.svg", "conf.d/more.yml"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A folder in which an example finds what it names.
fn folder_for(text: &str) -> (Folder, String) {
    let folder = Folder::new();
    for name in FILES {
        folder.write(name, if name.ends_with(".yml") { "routes: {}\n" } else { "<p>hi" });
    }
    let mut text = text.to_owned();
    for absolute in ABSOLUTE {
        let own = format!("{}{absolute}", folder.path().display());
        for before in ["\"", "'", " ", "static "] {
            text = text.replace(&format!("{before}{absolute}"), &format!("{before}{own}"));
        }
    }
    let mut pairs = HashMap::new();
    let words = text.split(['"', '\'', ' ', '\n', ',', '}', ']']);
    for path in words.filter(|word| word.starts_with(folder.path().to_str().unwrap())) {
        let files: &[&str] = match path {
            path if !path.ends_with('/') => &[""],
            path if path.contains("/tls/") => &["a.pem", "a.key"],
            _ => &["index.html"],
        };
        for file in files.iter().map(|name| format!("{path}{name}")).filter(|file| !Path::new(file).exists()) {
            fs::create_dir_all(Path::new(&file).parent().unwrap()).unwrap();
            // Each certificate has a name of its own: of two with the same one would never be chosen.
            let stem = file.replace("fullchain", "").replace("privkey", "");
            let stem = Path::new(&stem).with_extension("");
            let name = format!("{}.example.com", pairs.len());
            let pair = pairs
                .entry(stem)
                .or_insert_with(|| rcgen::generate_simple_self_signed([name]).expect("a certificate can be made"));
            let text = match Path::new(&file).file_name().and_then(|name| name.to_str()).unwrap() {
                name if name == "privkey.pem" || name.ends_with(".key") => pair.signing_key.serialize_pem(),
                name if name.ends_with(".pem") => pair.cert.pem(),
                _ => "<p>hi".to_owned(),
            };
            fs::write(file, text).unwrap();
        }
    }
    (folder, text)
}

fn check(name: &str, text: &str, extension: &str) {
    let (folder, text) = folder_for(text);
    let file = format!("anygate.{extension}");
    folder.write(&file, &text);
    let ran = folder.run(&["check", "--offline", "-c", &file]);
    assert_eq!(ran.code, 0, "{name}:\n{text}\n{}", ran.err);
    assert_eq!(ran.err, "", "{name}");
}

/// The blocks of a Markdown file with their language and the line they begin at.
fn blocks(text: &str) -> Vec<(String, String, usize)> {
    let mut list = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.trim().to_owned(), String::new(), at + 1)),
            (Some(_), Some(_)) => list.extend(open.take()),
            (Some((_, text, _)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    list
}

#[test]
fn every_configuration_in_the_documentation_is_accepted() {
    let root = repository();
    let mut pages = vec![root.join("README.md")];
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|end| end == "md")));
    let mut count = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (language, block, line) in blocks(&text) {
            let extension = match language.as_str() {
                "yaml" => "yml",
                "toml" => "toml",
                "json" if block.contains("\"routes\"") => "json",
                _ => continue,
            };
            check(&format!("{}:{line}", page.display()), &block, extension);
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} blocks were found");
}

#[test]
fn the_configuration_that_the_default_page_shows_is_accepted() {
    let page = fs::read_to_string(repository().join("cli/src/default.html")).unwrap();
    let block = page.split("<pre>").find(|part| part.starts_with("server:")).unwrap();
    check("default.html", block.split("</pre>").next().unwrap(), "yml");
}

#[test]
fn every_example_is_accepted() {
    let mut count = 0;
    for entry in fs::read_dir(repository().join("docs/examples")).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|end| end.to_str()).unwrap().to_owned();
        check(&path.display().to_string(), &fs::read_to_string(&path).unwrap(), &extension);
        count += 1;
    }
    assert!(count >= 5, "only {count} examples were found");
}

#[test]
fn the_six_lines_stand_in_the_readme_as_they_are_promised() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let promise = [
        r#""/": "/dist/""#,
        r#""/ping": "http://auth/ping""#,
        r#"GET POST PATCH /api/mock/rude: FORBIDDEN {"msg":"GO PATCH UR MUM!"}"#,
        "GET /fastest/ever/ok: OK",
        "/a/b/c: *",
        "/a/b/c-forbidden: FORBIDDEN *",
    ];
    let block = blocks(&readme).into_iter().map(|(_, text, _)| text).find(|text| text.contains("MUM")).unwrap();
    let lines: Vec<&str> = block.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(lines.len(), promise.len(), "{block}");
    for (line, promised) in lines.iter().zip(promise) {
        assert!(line.trim_start().starts_with(promised), "{line}");
    }
}
