//! Which language a file is in, by its name, and what the rules have to know
//! about it. Not a parser: comments, strings and how functions look are enough.

/// What a file is for, which decides the rules that make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Written for a machine to run.
    Code,
    /// Written for people to read.
    Prose,
    /// Settings and data.
    Data,
    /// Written by a tool that pins versions.
    Lock,
}

/// How a function begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Functions {
    /// After a keyword, in braces. `by_line`: a line end ends a statement.
    Keyword {
        word: &'static str,
        by_line: bool,
    },
    /// A name before parentheses, in braces.
    CLike,
    /// As `CLike` and as `Keyword`, and arrows that are given a name.
    Script,
    /// A name before empty parentheses, in braces.
    Shell,
    /// After one of the keywords, as far as it is indented.
    Indented(&'static [&'static str]),
    None,
}

/// Strings that are unlike those of other languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// `r#"…"#`, and `'a` that is no string.
    Rust,
    /// `R"x(…)x"`, and `1'000` that is no string.
    Cpp,
    /// `@"…"`.
    CSharp,
    /// A string that is a statement is a comment.
    Python,
    /// Templates and regular expressions.
    Script,
    None,
}

/// What the rules know of a language.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    pub name: &'static str,
    pub kind: Kind,
    pub line_comments: &'static [&'static str],
    pub block_comment: Option<(&'static str, &'static str)>,
    pub nested_comments: bool,
    /// What opens and closes a string with escapes.
    pub quotes: &'static [u8],
    /// What opens and closes a string without escapes over any number of lines.
    pub raw_quote: Option<u8>,
    /// Three of a quote open a string over any number of lines.
    pub triple_quotes: bool,
    /// A plain string may go on over the line's end.
    pub long_strings: bool,
    pub quirk: Quirk,
    pub functions: Functions,
}

const fn code(name: &'static str, functions: Functions) -> Language {
    Language {
        name,
        kind: Kind::Code,
        line_comments: &["//"],
        block_comment: Some(("/*", "*/")),
        nested_comments: false,
        quotes: b"\"'",
        raw_quote: None,
        triple_quotes: false,
        long_strings: false,
        quirk: Quirk::None,
        functions,
    }
}

const fn hash_commented(name: &'static str, functions: Functions) -> Language {
    Language { line_comments: &["#"], block_comment: None, ..code(name, functions) }
}

const fn keyword(word: &'static str, by_line: bool) -> Functions {
    Functions::Keyword { word, by_line }
}

const fn plain(name: &'static str, kind: Kind) -> Language {
    Language { kind, line_comments: &[], block_comment: None, quotes: b"", ..code(name, Functions::None) }
}

static RUST: Language = Language {
    nested_comments: true,
    quotes: b"\"",
    long_strings: true,
    quirk: Quirk::Rust,
    ..code("Rust", keyword("fn", false))
};
static C: Language = Language { quirk: Quirk::Cpp, ..code("C", Functions::CLike) };
static JAVA: Language = Language { triple_quotes: true, ..code("Java", Functions::CLike) };
static CSHARP: Language = Language { triple_quotes: true, quirk: Quirk::CSharp, ..code("C#", Functions::CLike) };
static KOTLIN: Language =
    Language { triple_quotes: true, nested_comments: true, ..code("Kotlin", keyword("fun", true)) };
static SCALA: Language =
    Language { quotes: b"\"", triple_quotes: true, nested_comments: true, ..code("Scala", keyword("def", true)) };
static SWIFT: Language =
    Language { quotes: b"\"", triple_quotes: true, nested_comments: true, ..code("Swift", keyword("func", true)) };
static DART: Language = Language { triple_quotes: true, ..code("Dart", Functions::CLike) };
static GO: Language = Language { raw_quote: Some(b'`'), ..code("Go", keyword("func", true)) };
static SCRIPT: Language = Language { quirk: Quirk::Script, ..code("JavaScript", Functions::Script) };
static PHP: Language =
    Language { line_comments: &["//", "#"], long_strings: true, ..code("PHP", keyword("function", false)) };
static PYTHON: Language = Language {
    triple_quotes: true,
    quirk: Quirk::Python,
    ..hash_commented("Python", Functions::Indented(&["def", "async def"]))
};
static RUBY: Language = Language { long_strings: true, ..hash_commented("Ruby", Functions::Indented(&["def"])) };
static ELIXIR: Language =
    Language { triple_quotes: true, ..hash_commented("Elixir", Functions::Indented(&["def", "defp"])) };
static LUA: Language = Language {
    line_comments: &["--"],
    block_comment: Some(("--[[", "]]")),
    ..code("Lua", Functions::Indented(&["function", "local function"]))
};
static SHELL: Language = Language { long_strings: true, ..hash_commented("shell", Functions::Shell) };
static PERL: Language = hash_commented("Perl", keyword("sub", false));
static SQL: Language = Language { line_comments: &["--"], long_strings: true, ..code("SQL", Functions::None) };
static HASKELL: Language = Language {
    line_comments: &["--"],
    block_comment: Some(("{-", "-}")),
    quotes: b"\"",
    ..code("Haskell", Functions::None)
};
static CSS: Language = Language { line_comments: &[], ..code("CSS", Functions::None) };
static SCSS: Language = code("SCSS", Functions::None);
static INTERFACE: Language = Language { quotes: b"\"", ..code("interface definition", Functions::None) };
static MAKE: Language = Language { quotes: b"", ..hash_commented("build script", Functions::None) };
static MARKUP: Language = Language { block_comment: Some(("<!--", "-->")), ..plain("markup", Kind::Prose) };
static MARKDOWN: Language = Language { block_comment: Some(("<!--", "-->")), ..plain("Markdown", Kind::Prose) };
static TEXT: Language = plain("text", Kind::Prose);
static SETTINGS: Language = Language { kind: Kind::Data, quotes: b"", ..hash_commented("settings", Functions::None) };
static DATA: Language = plain("data", Kind::Data);
static LOCK: Language = plain("lock file", Kind::Lock);
static UNKNOWN: Language = plain("unknown", Kind::Data);

/// The language that the name of a file stands for.
pub fn of(path: &str) -> &'static Language {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    if let Some(language) = by_name(&name) {
        return language;
    }
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "rs" => &RUST,
        "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" | "inl" | "m" | "mm" | "cu" | "glsl" | "hlsl" => &C,
        "java" | "groovy" => &JAVA,
        "cs" => &CSHARP,
        "kt" | "kts" | "gradle" => &KOTLIN,
        "scala" | "sbt" => &SCALA,
        "swift" => &SWIFT,
        "dart" => &DART,
        "go" => &GO,
        "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" | "vue" | "svelte" => &SCRIPT,
        "php" => &PHP,
        "py" | "pyi" | "pyx" | "bzl" => &PYTHON,
        "rb" | "rake" | "gemspec" => &RUBY,
        "ex" | "exs" => &ELIXIR,
        "lua" => &LUA,
        "sh" | "bash" | "zsh" | "ksh" => &SHELL,
        "pl" | "pm" | "r" => &PERL,
        "sql" => &SQL,
        "hs" | "elm" => &HASKELL,
        "css" => &CSS,
        "scss" | "less" | "sass" => &SCSS,
        "proto" | "wit" | "thrift" | "graphql" | "zig" => &INTERFACE,
        "mk" | "cmake" | "nix" | "bazel" | "tcl" => &MAKE,
        "html" | "htm" | "xml" | "xhtml" | "svg" | "plist" | "xaml" => &MARKUP,
        "md" | "markdown" | "mdx" => &MARKDOWN,
        "txt" | "rst" | "adoc" | "org" | "tex" | "po" | "pot" => &TEXT,
        "toml" | "yaml" | "yml" | "ini" | "cfg" | "conf" | "properties" | "env" | "tf" | "tfvars" | "hcl" => &SETTINGS,
        "json" | "jsonc" | "json5" | "ndjson" | "csv" | "tsv" | "ipynb" | "diff" | "patch" | "snap" | "map" => &DATA,
        "lock" | "sum" | "lockb" => &LOCK,
        _ => &UNKNOWN,
    }
}

fn by_name(name: &str) -> Option<&'static Language> {
    Some(match name {
        "package-lock.json" | "npm-shrinkwrap.json" | "pnpm-lock.yaml" | "composer.lock" | "packages.lock.json" => {
            &LOCK
        }
        "makefile" | "gnumakefile" | "dockerfile" | "containerfile" | "justfile" | "cmakelists.txt" | "build" => &MAKE,
        "gemfile" | "rakefile" | "vagrantfile" => &RUBY,
        ".bashrc" | ".profile" | ".zshrc" => &SHELL,
        ".gitignore" | ".gitattributes" | ".editorconfig" | ".npmrc" | ".netrc" => &SETTINGS,
        _ if name == ".env" || name.starts_with(".env.") => &SETTINGS,
        _ => return None,
    })
}

impl Language {
    /// Whether the name promises text of a known sort.
    pub fn is_known(&self) -> bool {
        *self != UNKNOWN
    }

    pub fn is_code(&self) -> bool {
        self.kind == Kind::Code
    }

    /// Whether values stand in it without quotes.
    pub fn has_bare_values(&self) -> bool {
        *self == SETTINGS || *self == UNKNOWN
    }

    pub fn is_markdown(&self) -> bool {
        *self == MARKDOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_decides() {
        for (path, name) in [
            ("repo/src/lib.rs", "Rust"),
            ("repo/a/Makefile", "build script"),
            ("repo/web/App.TSX", "JavaScript"),
            ("repo/.env.production", "settings"),
            ("repo/package-lock.json", "lock file"),
            ("repo/package.json", "data"),
            ("repo/LICENSE", "unknown"),
            ("repo/v1.rs/README", "unknown"),
        ] {
            assert_eq!(of(path).name, name, "{path}");
        }
    }
}
