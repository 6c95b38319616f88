export async function renewPictures() {}
