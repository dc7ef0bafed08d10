package spec

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestSchemaGolden: the published schema is the one that the parser's table
// makes.
func TestSchemaGolden(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../../docs/schema/pipeline.schema.json", b)
}

// TestSchemaAgreesWithParser: a field is in the schema exactly if the parser
// takes it.
func TestSchemaAgreesWithParser(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(b, &root); err != nil {
		t.Fatal(err)
	}
	input := root["$defs"].(map[string]any)["input"].(map[string]any)
	for _, f := range fieldRows {
		at, names := root, strings.Split(f.path, ".")
		if names[0] == "input" && len(names) > 1 {
			at, names = input, names[1:]
		}
		there := true
		for _, name := range names {
			fields, _ := at["properties"].(map[string]any)
			if at, there = fields[name].(map[string]any); !there {
				break
			}
		}
		if there != (f.shape != unbuilt) {
			t.Errorf("%s: in the schema %v, built %v", f.path, there, f.shape != unbuilt)
		}
		if text := fieldTexts[f.path]; there && (text == "" || at["description"] != text) || !there && text != "" {
			t.Errorf("%s: built %v, said to be %q, in the schema %v", f.path, there, text, at["description"])
		}
	}
}
