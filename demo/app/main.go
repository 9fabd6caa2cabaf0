// Command hello greets in a language of your choice. It is what the demo packs into images.
package main

import (
	"fmt"
	"os"

	"golang.org/x/text/language"
)

func main() {
	tag := language.English
	if len(os.Args) > 1 {
		tag = language.Make(os.Args[1])
	}
	greetings := map[string]string{"en": "hello", "fr": "bonjour", "de": "hallo"}
	base, _ := tag.Base()
	fmt.Println(greetings[base.String()])
}
