package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// render renders the Helm chart in dir with what its values file says and what
// values change, as Helm does: of what charts can use it knows what this one
// uses, so that neither tests nor those who install it need Helm.
func render(dir, namespace string, values map[string]any) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return "", err
	}
	var all map[string]any
	if err := yaml.Unmarshal(b, &all); err != nil {
		return "", fmt.Errorf("values.yaml: %w", err)
	}
	if err := override(all, values); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "templates", "*"))
	if err != nil {
		return "", err
	}
	t := template.New("").Option("missingkey=error")
	t.Funcs(functions(t))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		if _, err := t.New(filepath.Base(f)).Parse(string(text)); err != nil {
			return "", err
		}
	}
	var made []string
	data := map[string]any{"Values": all, "Release": map[string]any{"Namespace": namespace, "Name": "dvx"}}
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(f), "_") {
			continue
		}
		var text bytes.Buffer
		if err := t.ExecuteTemplate(&text, filepath.Base(f), data); err != nil {
			return "", err
		}
		for doc := range strings.SplitSeq("\n"+text.String(), "\n---\n") {
			if doc = strings.TrimSpace(doc); doc != "" {
				made = append(made, "---\n"+doc+"\n")
			}
		}
	}
	// Helm too makes namespaces before what is in them.
	slices.SortStableFunc(made, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return strings.Join(made, ""), nil
}

// rank orders documents by when they must be made.
func rank(doc string) int {
	if strings.Contains(doc, "\nkind: Namespace\n") {
		return 0
	}
	return 1
}

// functions are those of Helm that the chart uses.
func functions(t *template.Template) template.FuncMap {
	return template.FuncMap{
		"quote": func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"toJson": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		"add": func(a int, b any) int {
			switch b := b.(type) {
			case int:
				return a + b
			case float64:
				return a + int(b)
			default:
				return a
			}
		},
		"nindent": func(n int, s string) string {
			pad := "\n" + strings.Repeat(" ", n)
			return pad + strings.ReplaceAll(s, "\n", pad)
		},
		"include": func(name string, data any) (string, error) {
			var text strings.Builder
			err := t.ExecuteTemplate(&text, name, data)
			return text.String(), err
		},
	}
}

// override sets values, of which each must be there.
func override(all, values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		old, ok := all[name]
		if !ok {
			return fmt.Errorf("the chart has no value %s", name)
		}
		below, isMap := values[name].(map[string]any)
		if in, ok := old.(map[string]any); ok && isMap {
			if err := override(in, below); err != nil {
				return err
			}
			continue
		}
		all[name] = values[name]
	}
	return nil
}

// docs splits YAML documents, each as the values that it stands for.
func docs(text string) ([]map[string]any, error) {
	var all []map[string]any
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		var v map[string]any
		if err := yaml.UnmarshalStrict([]byte(doc), &v); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, doc)
		}
		if v != nil {
			all = append(all, v)
		}
	}
	return all, nil
}
