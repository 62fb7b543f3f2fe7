// Client-side routes: a path to a view and its parameters.
const routes = [
  { name: 'home', pattern: /^\/$/ },
  { name: 'user', pattern: /^\/users\/(?<id>\d+)$/ },
  { name: 'about', pattern: /^\/about$/ },
];

export function match(path) {
  for (const { name, pattern } of routes) {
    const found = pattern.exec(path);
    if (found) return { name, params: { ...found.groups } };
  }
  return { name: 'unknown', params: {} };
}
